"""Fetch the SMS Spam Collection: `python gpt_download.py`.

5,574 text messages, 747 of them spam, collected by Tiago Almeida and José María Gómez Hidalgo (UCI
Machine Learning Repository, no. 228, doi:10.24432/C5CC84, licence CC BY 4.0). Chapter 5's download
code does the work: nothing is contacted if the file is there, sizes and checksums are checked, a
cut download goes on where it stopped.
"""

import argparse
from pathlib import Path


def sms_arguments(arguments=None):
    """The command line of this chapter's gpt_download.py."""
    parser = argparse.ArgumentParser(
        description="Fetch the data of chapter 6. With no argument: list what there is."
    )
    parser.add_argument(
        "name", nargs="?", choices=("list", "sms"), default="list", metavar="list | sms"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where files go (default: $SCRATCH_LLM_DATA, or data/ in the course)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":  # before the other chapters are loaded, which takes two seconds
    GIVEN = sms_arguments()

import hashlib
import lzma
import sys
import zipfile
import zlib

try:
    from ch06_01_main_chapter_code.previous_chapters import downloads, write_atomically
    from scratch_llm_tools.console import open_console
except ImportError as error:
    raise SystemExit(f"{error}") from None

SMS_FILE = Path("sms_spam_collection") / "SMSSpamCollection"
SMS_SIZE = 477_907
SMS_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
ZIP_URL = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
ZIP_SHA256 = "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"
# What a zip is made of that is damaged, encrypted, or packed in another way than this one.
UNREADABLE = (
    zipfile.BadZipFile,
    KeyError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
)
BY_HAND = (
    "Put SMSSpamCollection (from the UCI Machine Learning Repository, no. 228) there by hand: {}"
)


def download_sms(folder=None):
    """Bring the SMS Spam Collection and return its path; nothing is contacted if it is there.

    `folder` takes the place of chapter 5's `data_folder()`. Raises DownloadError where it cannot be
    had or written.
    """
    target = Path(folder or downloads.data_folder()) / SMS_FILE
    if downloads.is_there(target, SMS_SIZE):
        return target
    advice = BY_HAND.format(target)
    archive = target.with_name("sms_spam_collection.zip")
    downloads.download(ZIP_URL, archive, advice=advice)
    with downloads.disk_errors(target), downloads.locked(target):
        if not downloads.is_there(target, SMS_SIZE):
            write_atomically(target, lambda path: path.write_bytes(read_member(archive, advice)))
        archive.unlink(missing_ok=True)
    return target


def read_member(archive, advice):
    """The one member that is wanted, by its name: whatever else the archive holds is never written
    anywhere.

    It is the member's checksum that counts: the zip may be packed anew one day around the same
    messages.
    """
    try:
        with zipfile.ZipFile(archive) as pack, pack.open(SMS_FILE.name) as member:
            content = member.read(SMS_SIZE + 1)  # no more, whatever the archive claims
    except UNREADABLE as error:
        content, reason = b"", f"it holds no readable {SMS_FILE.name} ({error})"
    else:
        reason = f"its {SMS_FILE.name} has another checksum than the messages of this course"
    if hashlib.sha256(content).hexdigest() == SMS_SHA256:
        return content
    if downloads.digest(archive) != ZIP_SHA256:
        reason += ", and it is another zip than the one that is known"
    archive.unlink()
    raise downloads.DownloadError(f"{ZIP_URL} sent a file that is not used: {reason}. {advice}")


def main(given):
    """Run the command line and return its exit code: 1 if the data could not be brought."""
    open_console()
    folder = given.folder or downloads.data_folder()
    if given.name == "list":
        here = "here" if downloads.is_there(folder / SMS_FILE, SMS_SIZE) else ""
        print("Messages: python gpt_download.py sms")
        print(
            f"  sms  {downloads.human(SMS_SIZE)}  {here:<5} CC BY 4.0  SMS Spam Collection: 5,574 messages, 747 of them spam"
        )
        print(f"They go into {folder} (--folder or SCRATCH_LLM_DATA choose another place).")
        return 0
    try:
        print(f"ready: {download_sms(folder)}")
    except downloads.DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(GIVEN))
