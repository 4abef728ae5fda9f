"""Tiny, deterministic qwen35 and qwen35moe test models."""
