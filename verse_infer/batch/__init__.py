"""Running a folder of cases: finding them, a worker that may die, second chances, the report."""
