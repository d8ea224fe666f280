"""Many studies: grids and plans, cells and workers, the store and what is read from it."""
