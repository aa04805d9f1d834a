"""The page that makes owner guardians and shielding data in a browser, with no network: one HTML file, built from here.

`source/` holds its ES modules, stylesheet and template; `build` joins them, always into the same bytes. The file
`SHA256` says which.
"""
