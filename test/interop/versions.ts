/** Every version that the interop tests install at run time; nothing of it is a dependency of the package. */
export const versions = {
  /** The npm package oracledb, as an older application has it. Version 26 is the package's own dependency. */
  oracledb6: '6.10.0',
  pythonOracledb: '26.1.0',
  /** The login of python-oracledb is done with it. */
  cryptography: '50.0.2',
  sqlAlchemy: '2.1.9',
  ojdbc11: '23.26.0.0.0',
  ucp11: '23.26.0.0.0',
  ojdbc8: '19.28.0.0',
  /** The last of release 19 that there is for this pool. */
  ucp8: '19.22.0.0',
  hikariCp: '6.3.0',
} as const;
