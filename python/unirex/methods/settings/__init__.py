"""The settings of methods, one file each, which need no torch: `unirex train --help` reads them."""
