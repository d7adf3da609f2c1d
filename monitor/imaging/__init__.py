"""Pure functions of pictures: preprocessing, views, zones, JPEG."""
