from clary.cli.main import main

main()
