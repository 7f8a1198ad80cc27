"""A person on another machine than the authority's: asks it over HTTPS, each command exactly once."""
