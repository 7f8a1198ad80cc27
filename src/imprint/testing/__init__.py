"""Test doubles that ship: a simulated factory for makers who test their own recipes, products and integrations."""
