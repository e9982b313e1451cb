/** What waits while nobody looks may wait this long: a hidden tab gets no frames. */
const HiddenDelayMs = 250;

/** A function that runs `work` once in the next frame, however often it is called before. */
export function oncePerFrame(work: () => void): () => void {
  let waits = false;
  return () => {
    if (waits)
      return;
    waits = true;
    const run = () => {
      waits = false;
      work();
    };
    if (document.hidden)
      setTimeout(run, HiddenDelayMs);
    else
      requestAnimationFrame(run);
  };
}
