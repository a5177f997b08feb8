// Loaded before a replica's own code: shifts its wall clock by what the chaos tool says over the channel. The real clock
// cannot be set for one process, and the monotonic clock never steps.
const realNow = Date.now;
let skewMs = 0;

Date.now = () => realNow() + skewMs;

process.on('message', (message: { readonly skewMs?: unknown }) => {
  if (typeof message.skewMs === 'number') skewMs = message.skewMs;
});
// Without this the listener alone would keep the process alive after its work has ended.
process.channel?.unref();
