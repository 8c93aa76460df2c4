from horizon.cli.main import main

main()
