// nix_files.c: see nix_files.h. fetchurl.nix must make the same derivations as C++ Nix's: its attributes are a public interface.
#include "glue/nix_files.h"

static const char fetchurl_nix[] =
    "# Downloads a file at build time, by the builder that is part of the program.\n"
    "{\n"
    "  system ? \"\", # not used any more\n"
    "  url,\n"
    "  hash ? \"\", # SRI\n"
    "  md5 ? \"\",\n"
    "  sha1 ? \"\",\n"
    "  sha256 ? \"\",\n"
    "  sha512 ? \"\",\n"
    "  outputHash ?\n"
    "    if hash != \"\" then hash\n"
    "    else if sha512 != \"\" then sha512\n"
    "    else if sha1 != \"\" then sha1\n"
    "    else if md5 != \"\" then md5\n"
    "    else sha256,\n"
    "  outputHashAlgo ?\n"
    "    if hash != \"\" then \"\"\n"
    "    else if sha512 != \"\" then \"sha512\"\n"
    "    else if sha1 != \"\" then \"sha1\"\n"
    "    else if md5 != \"\" then \"md5\"\n"
    "    else \"sha256\",\n"
    "  executable ? false,\n"
    "  unpack ? false,\n"
    "  name ? baseNameOf (toString url),\n"
    "  impure ? false,\n"
    "}:\n"
    "\n"
    "derivation (\n"
    "  {\n"
    "    builder = \"builtin:fetchurl\";\n"
    "    system = \"builtin\";\n"
    "    outputHashMode = if unpack || executable then \"recursive\" else \"flat\";\n"
    "    inherit name url executable unpack;\n"
    "    urls = [ url ]; # what mirrors are looked up by\n"
    "    preferLocalBuild = true; # no use in sending it elsewhere\n"
    "    impureEnvVars = [ \"http_proxy\" \"https_proxy\" \"ftp_proxy\" \"all_proxy\" \"no_proxy\" ];\n"
    "  }\n"
    "  // (if impure then { __impure = true; } else { inherit outputHash outputHashAlgo; })\n"
    ")\n";

bool nix_files_find(Span name, Span *ret_text) {
  if (!span_eq_cstr(name, "fetchurl.nix")) return false;
  *ret_text = span_make(fetchurl_nix, sizeof(fetchurl_nix) - 1);
  return true;
}
