// plain_text.h: text for those who read it elsewhere than on a terminal.
#pragma once

#include "base/buf.h"

// Appends `text` without escape sequences, carriage returns and bells, as Nix writes to files and pipes.
void plain_text_put(Span text, Buf *ret);
