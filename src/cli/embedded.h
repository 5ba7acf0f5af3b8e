// embedded.h: text files that are part of the program; the definitions are generated from them by tools/embed-texts.
#pragma once

// For users' shells, to be sourced (completion.h).
extern const char embedded_completion_bash[];
extern const char embedded_completion_fish[];
extern const char embedded_completion_zsh[];
// The builder that prints the environment of a derivation (build_environment.h).
extern const char embedded_get_env_sh[];
// From values to descriptions of packages (package.h).
extern const char embedded_package_nix[];
