"""Spark sessions, settings and failures. No imports here: start_settings reads ``settings`` before Spark exists."""
