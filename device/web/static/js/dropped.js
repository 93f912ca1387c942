// Files from a drop, with the images of dropped folders and their sub-folders.

const IMAGE = /\.(png|jpe?g|tiff?|czi|nd2|lif|oib)$/i;

const byPath = (a, b) => (a.webkitRelativePath || a.name).localeCompare(b.webkitRelativePath || b.name, undefined, { numeric: true });

/** Of a folder only the images, slice 2 before slice 10: microscopes leave notes and previews beside them. */
export const imagesOf = (files) => files.filter((file) => IMAGE.test(file.name) && !file.name.startsWith(".")).toSorted(byPath);

const fileOf = (entry) => new Promise((resolve, reject) => { entry.file(resolve, reject); });

/** readEntries gives at most a hundred at a time. */
async function entriesOf(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return found.toSorted((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    found.push(...some);
  }
}

async function filesBelow(entry) {
  if (entry.isFile) return [await fileOf(entry)];
  const files = [];
  for (const one of await entriesOf(entry)) files.push(...await filesBelow(one));
  return imagesOf(files);
}

export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) files.push(...await filesBelow(entry));
  return files;
}
