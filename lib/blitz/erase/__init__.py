"""Erase customers from everything that the project wrote, and remove what is past its retention (docs/privacy.md)."""
