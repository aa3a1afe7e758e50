// SPDX-License-Identifier: GPL-3.0-or-later
// quantloupe-read-hdf5: the HDF5 library, shut in. Started by readers of checkpoints with the file as descriptor 3 and
// a pipe as standard output; what it is asked and what it answers: core/file_formats/hdf5_records.h.
#include "app/read_hdf5/answer.h"
#include "app/read_hdf5/list_contents.h"
#include "app/read_hdf5/read_elements.h"
#include "app/read_hdf5/refusal.h"
#include "app/read_hdf5/slice_driver.h"

#include "core/base/confinement.h"
#include "core/base/helper_records.h"

#include <charconv>
#include <cstring>
#include <new>
#include <optional>
#include <string_view>

#include <unistd.h>

namespace quantloupe::read_hdf5 {
namespace {

/// Room for a block of elements, a chunk and its packed bytes; processor time as a last resort, should nobody wait for
/// the answer any more.
constexpr Confinement kListing {std::uint64_t {512} << 20, 600};
constexpr Confinement kReading {std::uint64_t {1'536} << 20, std::uint64_t {24} * 3'600};

std::optional<std::uint64_t> numberIn(std::string_view text)
{
    std::uint64_t number = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, number);
    return problem == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

void answerOn(const Slice& slice, const char* dataset, Answer& answer)
{
    const auto file = openSlice(slice);
    if (!file)
        throw libraryRefusal("it cannot be opened as HDF5");
    if (dataset != nullptr)
        readElements(file.id(), dataset, answer);
    else
        listContents(file.id(), answer);
    answer.send(Hdf5Record::End, {});
    answer.flush();
    ::_exit(0);  // without closing the file: nothing the library does to it any more is of use
}

int run(int argc, char** argv)
{
    const bool reads = argc == 5 && std::strcmp(argv[1], "read") == 0;
    const bool lists = argc == 4 && std::strcmp(argv[1], "list") == 0;
    const auto begin = argc > 3 ? numberIn(argv[2]) : std::nullopt, size = argc > 3 ? numberIn(argv[3]) : std::nullopt;
    if ((!reads && !lists) || !begin || !size || *size > INT64_MAX || *begin > INT64_MAX - *size)
        return 2;
    Answer answer;
    // What the library sets up, it sets up before; then it is shut in, then it sees the file.
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) < 0 || H5PLset_loading_state(0) < 0)
        return 3;
    if (confineThisProcess(reads ? kReading : kListing) != 0)
        return 4;
    try {
        answerOn({kHelperInput, *begin, *size}, reads ? argv[4] : nullptr, answer);
    } catch (const Refusal& refusal) {
        answer.fail(refusal.code, refusal.reason);
    } catch (const std::bad_alloc&) {
        answer.fail(ErrorCode::Unsupported, "reading it takes more memory than is granted");
    }
    answer.flush();
    ::_exit(0);
}

}  // namespace
}  // namespace quantloupe::read_hdf5

int main(int argc, char** argv)
{
    return quantloupe::read_hdf5::run(argc, argv);
}
