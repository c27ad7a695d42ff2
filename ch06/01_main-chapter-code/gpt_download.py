"""Fetch the SMS Spam Collection: `python gpt_download.py`.

5,574 text messages, 747 of them spam, collected by Tiago Almeida and José María Gómez Hidalgo (UCI
Machine Learning Repository, no. 228, doi:10.24432/C5CC84, licence CC BY 4.0). Chapter 5's download
code does the work: nothing is contacted if the file is there, sizes and checksums are checked, a
cut download goes on where it stopped.
"""

import hashlib
import sys
from pathlib import Path

try:
    from ch05_01_main_chapter_code import gpt_download as downloads
    from scratch_llm_tools.console import open_console
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

SMS_FILE = Path("sms_spam_collection") / "SMSSpamCollection"
SMS_SIZE = 477_907
SMS_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
ZIP_URL = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
ZIP_LIMIT = 10_000_000  # bytes; it has 203 kB, and may be packed anew one day
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
    archive = target.with_name("sms_spam_collection.zip")
    advice = BY_HAND.format(target)
    downloads.download(ZIP_URL, archive, advice=advice, looks_right=messages, limit=ZIP_LIMIT)
    downloads.write(target, lambda path: path.write_bytes(messages(archive)), SMS_SIZE)
    archive.unlink(missing_ok=True)
    return target


def messages(archive):
    """The one member that is wanted, as bytes; ValueError if the zip does not hold it.

    It is the member's checksum that counts: the zip may be packed anew one day around the same
    messages.
    """
    content = downloads.read_member(archive, SMS_FILE.name, SMS_SIZE)
    if hashlib.sha256(content).hexdigest() != SMS_SHA256:
        raise ValueError(f"holds a {SMS_FILE.name} with another checksum than this course's")
    return content


def sms_rows(folder):
    """What the list says."""
    here = "here" if downloads.is_there(folder / SMS_FILE, SMS_SIZE) else ""
    what = "SMS Spam Collection: 5,574 messages, 747 of them spam"
    return [f"sms  {downloads.human(SMS_SIZE)}  {here:<5} CC BY 4.0  {what}"]


def sms_arguments(arguments=None):
    """The command line of this chapter's gpt_download.py."""
    return downloads.small_arguments(arguments, "the data of chapter 6", "sms")


def main(options):
    """Run the command line and return its exit code: 1 if the data could not be brought."""
    open_console()
    return downloads.small_main(
        options, "Messages: python gpt_download.py sms", sms_rows, download_sms
    )


if __name__ == "__main__":
    sys.exit(main(sms_arguments()))
