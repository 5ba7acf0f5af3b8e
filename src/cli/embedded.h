// embedded.h: text files that are part of the program; the definitions are generated from them by tools/embed-texts.
#pragma once

extern const char
    embedded_get_env_sh[]; // the builder that prints the environment of a derivation (build_environment.h)
extern const char embedded_package_nix[]; // from values to descriptions of packages (package.h)
