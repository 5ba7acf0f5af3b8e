// log_command.h: logs of builds.
#pragma once

#include "cli/session.h"

// nix-store --read-log.
int log_command_read(Session *session);
