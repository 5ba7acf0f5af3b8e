// version.h: versions that the program reports.
#pragma once

#define VERSION_FIRN "0.1.0"
// The C++ Nix whose language and command line firn has.
#define VERSION_NIX "2.26.3"
