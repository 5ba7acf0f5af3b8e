// serve_command.h: nix-store --serve: the other end of ssh:// stores of C++ Nix.
//
// Version 2.7 of the protocol. Numbers are u64le, strings as in an archive (length, bytes, zeros to a multiple of 8), sets a number and strings.
//
//   greeting   = 0x390c9deb (client)  0x5452eecb version (server)  version (client)      version = 2 << 8 | minor; the smaller counts
//   1 queryValidPaths  lock substitute paths   -> paths
//   2 queryPathInfos   paths                   -> ( path deriver references size size [ narHash ca sigs ] )* ""      from minor 4
//   3 dumpStorePath    path                    -> nar
//   4 importPaths      export-stream           -> 1                                      store_export.h
//   5 exportPaths      0 paths                 -> export-stream
//   6 buildPaths       strings settings        -> 0 | status message
//   7 queryClosure     include-outputs paths   -> paths
//   9 addToStoreNar    path deriver narHash references time size ultimate sigs ca nar  -> 1
//
// 4, 6 and 9 need --write. 8 (buildDerivation, of Hydra) is refused.
#pragma once

#include "cli/session.h"

int serve_command_run(Session *session);
