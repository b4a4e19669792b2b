// Ends with 0 where this Node is new enough to build the console: 20.19 or newer.
const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);
