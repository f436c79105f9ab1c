module threadbare/lane

go 1.22
