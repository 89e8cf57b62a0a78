// The recipients' file: its size is looked at before it travels, and a file chosen before "back" is not sent unseen.

for (const input of document.querySelectorAll("input[type=file][data-largest]")) {
  const note = document.getElementById(input.dataset.note);
  const largest = Number(input.dataset.largest);

  input.addEventListener("change", () => {
    const file = input.files[0];
    const tooBig = Boolean(file) && file.size > largest;
    input.setCustomValidity(tooBig ? "This file is bigger than 10 MiB. Split it, or remove columns that are not needed." : "");
    note.textContent = file ? `${file.name}, ${Math.ceil(file.size / 1024).toLocaleString("en")} KiB` : "";
    if (tooBig) input.reportValidity();
  });

  addEventListener("pageshow", () => { input.value = note.textContent = ""; });
}
