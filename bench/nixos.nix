# The derivation of a small NixOS system: openssh, nginx and postgresql.
{ nixpkgs }:
(import (nixpkgs + "/nixos") {
  configuration = {
    boot.loader.grub.device = "/dev/sda";
    fileSystems."/".device = "/dev/sda1";
    services.openssh.enable = true;
    services.nginx.enable = true;
    services.postgresql.enable = true;
  };
}).system.drvPath
