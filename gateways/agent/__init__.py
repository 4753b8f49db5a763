"""The gateway agent: reads loggers at a site, keeps every reading in a spool, and publishes until it is receipted."""
