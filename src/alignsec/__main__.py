from alignsec.cli import main

main()
