"""Products, lots, grants, the life cycle of a unit, birth records and reconciliation."""
