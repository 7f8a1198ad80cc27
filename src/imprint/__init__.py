"""Imprint: secure device provisioning, from the production line to the field."""
