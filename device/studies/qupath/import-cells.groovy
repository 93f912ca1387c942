// QuPath: reads the cells of an image from the folder "cells" beside the folder "images".
// Script editor: Run > Run for project.
def image = new File(getCurrentServer().getURIs().first())
def name = image.getName()
def stem = name.contains('.') ? name.substring(0, name.lastIndexOf('.')) : name
def cells = new File(new File(image.getParentFile().getParentFile(), 'cells'), stem + '.geojson')
if (!cells.isFile()) {
    println 'No cells for ' + name + ': ' + cells + ' is missing. Keep "images" and "cells" in one folder.'
    return
}
clearAllObjects()
importObjectsFromFile(cells.getPath())
// Regions that a person drew are annotations too, of another class.
def added = getAnnotationObjects().findAll { it.getPathClass()?.toString() == 'Cell' }
println name + ': ' + (getDetectionObjects().size() + added.size()) + ' cells'
