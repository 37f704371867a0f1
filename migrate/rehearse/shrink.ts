/**
 * Makes a list that fails as short as it can be within so many trials (delta debugging, Zeller 1999): parts are left out, first
 * great ones, then small ones, as long as what is left still fails.
 * @param fails whether a shorter list fails too; a failure that does not come every time makes the result longer, never wrong
 */
export async function shrink<Item>(
  items: readonly Item[],
  fails: (items: readonly Item[]) => Promise<boolean>,
  trialsMax: number,
): Promise<{ readonly items: readonly Item[]; readonly trials: number }> {
  let left = items;
  let trials = 0;
  for (let parts = 2; left.length > 1; ) {
    const size = Math.ceil(left.length / parts);
    let shorter: readonly Item[] | undefined;
    for (let at = 0; at < left.length && shorter === undefined; at += size) {
      if (trials >= trialsMax) return { items: left, trials };
      const without = [...left.slice(0, at), ...left.slice(at + size)];
      trials += 1;
      if (await fails(without)) shorter = without;
    }
    if (shorter !== undefined) {
      left = shorter;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(left.length, parts * 2);
  }
  return { items: left, trials };
}
