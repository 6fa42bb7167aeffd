"""From a Dockerfile to an image: parse, expand, look in the cache, run or copy, commit a layer."""
