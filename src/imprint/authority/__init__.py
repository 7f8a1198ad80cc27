"""The trusted side: it decides, signs and remembers."""
