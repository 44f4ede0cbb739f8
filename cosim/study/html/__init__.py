"""Reports as pages: one file each that needs no other, no network and no script, for any width, light and dark."""
