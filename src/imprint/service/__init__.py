"""The authority over HTTPS with mutual TLS: routes, who may use them, limits."""
