"""A fourth task as another distribution brings it: how bright a picture is. Nothing in Clary knows of it."""
