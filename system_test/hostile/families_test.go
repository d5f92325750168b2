package hostile

// families are all techniques, in the order of the matrix.
var families = []family{
	objectsFamily,
	importsFamily,
	codeFamily,
	framesFamily,
	siblingsFamily,
	auditFamily,
	nativeFamily,
	processFamily,
	filesFamily,
	procFamily,
	descriptorsFamily,
	unixFamily,
	networkFamily,
	resourcesFamily,
	teardownFamily,
}
