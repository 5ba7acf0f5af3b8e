# package.nix: what commands ask about values, as plain data that can be printed as JSON. Read by package.c.
let
  inherit (builtins)
    all attrNames attrValues deepSeq elemAt filter genList getContext isAttrs isBool isFloat isInt isList isPath isString
    length listToAttrs map mapAttrs parseDrvName tryEval;

  text = builtins.unsafeDiscardStringContext;

  # Only what can be written into a manifest.
  isPlain = v:
    if isAttrs v then !(v ? outPath) && all isPlain (attrValues v)
    else if isList v then all isPlain v
    else isString v || isInt v || isBool v || isFloat v;

  metaOf = drv:
    let meta = drv.meta or { };
    in listToAttrs (map (name: { inherit name; value = meta.${name}; }) (filter (name: isPlain meta.${name}) (attrNames meta)));

  # An assertion or `throw` inside makes it null.
  attempt = v: let result = tryEval (deepSeq v v); in if result.success then result.value else null;

  outputsOf = drv:
    if drv ? outputs
    then map (name: { inherit name; path = text drv.${name}.outPath; }) (filter (name: drv ? ${name} && drv.${name} ? outPath) drv.outputs)
    else [ { name = "out"; path = text drv.outPath; } ];

  # `found` is a list of attribute path and derivation by turns.
  pathAt = found: i: elemAt found (2 * i);
  drvAt = found: i: elemAt found (2 * i + 1);
in {
  brief = found:
    genList (i:
      if !isAttrs (drvAt found i) then { attrPath = pathAt found i; name = ""; system = ""; }
      else attempt { attrPath = pathAt found i; name = text (drvAt found i).name; system = (drvAt found i).system or "unknown"; })
      (length found / 2);

  meta = found: indexes: map (i: attempt (metaOf (drvAt found i))) indexes;

  # What is no derivation is a string or a path that stands for itself.
  complete = found: indexes:
    map (i:
      let drv = drvAt found i; single = if isPath drv then "${drv}" else drv;
      in if !isAttrs drv then { path = text single; context = getContext single; } else {
        drvPath = if drv ? drvPath then text drv.drvPath else null;
        path = text drv.outPath; # not outPath: with that, the set is printed as a string
        outputName = drv.outputName or "";
        outputSpecified = drv.outputSpecified or false;
        outputs = outputsOf drv;
        meta = metaOf drv;
        badMeta = filter (name: !isPlain drv.meta.${name}) (attrNames (drv.meta or { }));
        mainProgram = drv.meta.mainProgram or drv.pname or (parseDrvName drv.name).name;
      }) indexes;

  # What `nix run` starts: an app, or (null) a package.
  app = value:
    if (value.type or "") == "app"
    then { program = text value.program; context = mapAttrs (name: made: made.outputs or [ ]) (getContext value.program); }
    else null;
}
