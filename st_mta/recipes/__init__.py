"""Whole undertakings, one public function each: what the commands call. Published methods are recipes by name."""

from __future__ import annotations

from st_mta.recipes.by_name import Recipe as Recipe
from st_mta.recipes.by_name import load_recipe as load_recipe
from st_mta.recipes.by_name import recipe_names as recipe_names
