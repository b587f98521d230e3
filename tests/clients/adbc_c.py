"""Builds adbc.c against the library and the headers that ADBC's wheels bring, and runs it. Arguments: a folder, a password or none."""
import os, pathlib, subprocess, sys
import adbc_driver_flightsql, adbc_driver_manager

folder, password = sys.argv[1], sys.argv[2:]
library = pathlib.Path(adbc_driver_flightsql._driver_path())
headers = pathlib.Path(adbc_driver_manager.__file__).parent
program = pathlib.Path(folder) / "adbc"
source = pathlib.Path(__file__).with_name("adbc.c")
subprocess.run(["cc", "-std=c11", "-O1", "-Wall", "-Werror", "-I", headers, source, library, "-o", program], check=True)
# The wheel's file has not the name that it calls itself.
for line in subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout.splitlines():
    if "SONAME" in line:
        (pathlib.Path(folder) / line.split("[")[1].rstrip("]")).symlink_to(library)
more = {"FLIGHT_PASSWORD": password[0]} if password else {}
sys.exit(subprocess.run([program], env={**os.environ, **more, "LD_LIBRARY_PATH": folder}).returncode)
