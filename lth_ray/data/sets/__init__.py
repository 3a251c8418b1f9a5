"""Image sets as they are found: folders, Parquet and Arrow files, and the small sets that come with libraries."""
