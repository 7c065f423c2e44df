"""How values of the fleet are shown on a page: badges, tables, phrases."""
