"""The bench on the line: recipes, fixtures, runs and the journal. Not trusted: it asks, the authority decides."""
