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

  # Only what a query asks for, each part in a list of its own: null where an assertion or `throw` stands in the way.
  # `meta` is null (all attributes) or the names of some.
  parts = found: want:
    map (i:
      let drv = drvAt found i;
      in {
        drvPath = if want.drvPath then attempt [ (if drv ? drvPath then text drv.drvPath else "") ] else [ "" ];
        path = if want.outPath then attempt [ (text drv.outPath) ] else [ "" ];
        outputName = if want.outputNames then attempt [ (drv.outputName or "") ] else [ "" ];
        outputs =
          if want.outputPaths then attempt [ (outputsOf drv) ]
          else if want.outputNames then attempt [ (map (name: { inherit name; path = ""; }) (drv.outputs or [ "out" ])) ]
          else [ [ ] ];
        # Each value in a list of its own, which is empty where it is no plain data.
        meta =
          map (name: { inherit name; value = attempt (if isPlain drv.meta.${name} then [ drv.meta.${name} ] else [ ]); })
            (filter (name: want.meta == null || builtins.elem name want.meta) (attrNames (drv.meta or { })));
      }) want.indexes;

  # What `nix run` starts: an app, or (null) a package.
  app = value:
    if (value.type or "") == "app"
    then { program = text value.program; context = mapAttrs (name: made: made.outputs or [ ]) (getContext value.program); }
    else null;
}
