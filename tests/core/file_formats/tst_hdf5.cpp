// SPDX-License-Identifier: GPL-3.0-or-later
// HDF5 files as the library writes them, in every way it keeps numbers; and what is not read, with the reason.
#include "tests/support/checkpoint_files.h"
#include "tests/support/hdf5_files.h"

#include <QTest>

#include <bit>
#include <cmath>
#include <numeric>
#include <thread>

using namespace quantloupe;
using tests::Hdf5Builder;
using tests::Hdf5Keeping;

namespace {

std::vector<float> ramp(std::size_t count)
{
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(static_cast<int>(i * 7919 % 1009) - 500) / 64.0F;
    return values;
}

/// All elements in the order of the file.
std::vector<float> elementsOf(const TensorView& view)
{
    const auto held = holdBytes(view, {});
    if (!held)
        qFatal("%s", describe(held.error()).c_str());
    std::vector<float> values(view.elements());
    const auto matrix = matrixShape(view);
    if (!values.empty())
        decodeRows(view, 0, matrix.rows, values);
    return values;
}

void refuseWith(const std::filesystem::path& path, ErrorCode code, std::string_view reason)
{
    const auto model = openModel(path);
    QVERIFY(!model);
    QVERIFY2(model.error().code == code && model.error().reason.find(reason) != std::string::npos,
        describe(model.error()).c_str());
    QCOMPARE(model.error().where, path.string());
}

}  // namespace

class TestHdf5 : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void init() { m_folder.emplace(); }

    void everyWayOfKeepingGivesTheSameNumbers_data()
    {
        QTest::addColumn<int>("row");
        const char* names[] = {"contiguous", "big-endian", "chunked", "deflated", "deflated, shuffled, with checksums",
            "chunks that stick out", "one chunk for all", "rows across chunks", "compact", "double", "half", "scalar"};
        for (int i = 0; i < int(std::size(names)); ++i)
            QTest::newRow(names[i]) << i;
    }

    void everyWayOfKeepingGivesTheSameNumbers()
    {
        QFETCH(const int, row);
        std::vector<hsize_t> shape {60, 50};
        const hdf5::Type half(H5Tcopy(H5T_IEEE_F32LE));
        H5Tset_fields(half.id(), 15, 10, 5, 0, 10);
        H5Tset_size(half.id(), 2);
        H5Tset_ebias(half.id(), 15);
        const Hdf5Keeping ways[] = {{}, {.stored = H5T_IEEE_F32BE}, {.chunks = {8, 8}},
            {.chunks = {16, 50}, .deflate = 6},
            {.stored = H5T_IEEE_F32BE, .chunks = {7, 11}, .deflate = 9, .shuffle = true, .fletcher32 = true},
            {.chunks = {37, 41}}, {.chunks = {60, 50}, .deflate = 1}, {.chunks = {60, 1}}, {.compact = true},
            {.stored = H5T_IEEE_F64LE}, {.stored = half.id()}, {}};
        if (row == 11)
            shape.clear();
        const auto values = ramp(row == 11 ? 1 : 3'000);
        const auto path = m_folder->path() / "a.h5";
        Hdf5Builder(path).floats("group/weights", shape, values, ways[row]);
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        const auto& tensor = (*model)->tensors[0];
        QCOMPARE(tensor.name, std::string("group/weights"));
        QVERIFY(tensor.view.shape == Shape(shape.begin(), shape.end()));
        const bool inPlace = row == 0 || row >= 9;
        QCOMPARE(tensor.view.deferred == nullptr, inPlace);
        QVERIFY(tensor.view.dtype == (row == 9 ? DType::F64 : row == 10 ? DType::F16 : DType::F32));
        QCOMPARE(tensor.bytes(), tensor.view.elements() * traitsOf(tensor.view.dtype).blockBytes);
        QVERIFY(elementsOf(tensor.view) == values);
    }

    void everyTypeOfNumber()
    {
        const auto path = m_folder->path() / "types.h5";
        {
            const Hdf5Builder file(path);
            const std::vector<std::int64_t> numbers {0, 1, 100, 127};
            const auto add = [&](const char* name, hid_t type) {
                file.dataset(name, {4}, H5T_NATIVE_INT64, numbers, {.stored = type});
            };
            add("i8", H5T_STD_I8BE);
            add("u8", H5T_STD_U8LE);
            add("i16", H5T_STD_I16LE);
            add("u16", H5T_STD_U16BE);
            add("i32", H5T_STD_I32BE);
            add("u32", H5T_STD_U32LE);
            add("i64", H5T_STD_I64LE);
            add("u64", H5T_STD_U64BE);
            const hdf5::Type truth(H5Tenum_create(H5T_NATIVE_INT8));
            for (const auto& [name, value] :
                {std::pair {"FALSE", std::int8_t {0}}, std::pair {"TRUE", std::int8_t {1}}})
                H5Tenum_insert(truth.id(), name, &value);
            file.dataset("bool", {4}, truth.id(), std::vector<std::int8_t> {0, 1, 1, 0}, {.stored = truth.id()});
            // As Keras writes bfloat16: two bytes without meaning, and an attribute.
            const hdf5::Type opaque(H5Tcreate(H5T_OPAQUE, 2));
            const std::vector<std::uint16_t> brain {0x3F80, 0xC000, 0x3E80, 0x7F80};  // 1, -2, 0.25, infinity
            file.dataset("bf16", {4}, opaque.id(), brain, {.stored = opaque.id()});
            file.text("bf16", "dtype", "bfloat16");
            file.dataset("bf16 packed", {4}, opaque.id(), brain, {.stored = opaque.id(), .chunks = {2}, .deflate = 4});
            file.texts("bf16 packed", "dtype", {"bfloat16"});
            file.dataset("bf16 as integers", {4}, H5T_NATIVE_UINT16, brain, {.stored = H5T_STD_U16BE});
            file.text("bf16 as integers", "dtype", "bfloat16");
            file.dataset("texts", {1}, H5T_C_S1, std::vector<char> {'a'}, {.stored = H5T_C_S1});
            file.dataset("opaque", {4}, opaque.id(), brain, {.stored = opaque.id()});
        }
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(12));
        const std::pair<const char*, DType> expected[] = {{"i8", DType::I8}, {"u8", DType::U8}, {"i16", DType::I16},
            {"u16", DType::U16}, {"i32", DType::I32}, {"u32", DType::U32}, {"i64", DType::I64}, {"u64", DType::U64},
            {"bool", DType::Bool}, {"bf16", DType::BF16}, {"bf16 packed", DType::BF16},
            {"bf16 as integers", DType::BF16}};
        for (const auto& [name, dtype] : expected) {
            const auto index = (*model)->find(name);
            QVERIFY2(index, name);
            const auto& view = (*model)->tensors[*index].view;
            QVERIFY2(view.dtype == dtype, name);
            const auto values = elementsOf(view);
            const std::vector<float> wanted = dtype == DType::Bool ? std::vector<float> {0, 1, 1, 0}
                : dtype == DType::BF16                             ? std::vector<float> {1.0F, -2.0F, 0.25F, HUGE_VALF}
                                                                   : std::vector<float> {0, 1, 100, 127};
            QVERIFY2(values == wanted, name);
        }
        QVERIFY((*model)->warnings.back() == "2 datasets hold no plain numbers and are left out.");
    }

    void filesOfOtherMakes()
    {
        for (const auto& [userBlock, latest] : {std::pair {0, true}, std::pair {512, false}, std::pair {2'048, true}}) {
            const auto path = m_folder->path() / "b.h5";
            {
                const Hdf5Builder file(path, static_cast<hsize_t>(userBlock), latest);
                file.floats("plain", {10, 10}, ramp(100));
                file.floats("packed", {10, 10}, ramp(100), {.chunks = {3, 3}, .deflate = 5});
            }
            const auto model = openModel(path);
            QVERIFY2(model, model ? "" : describe(model.error()).c_str());
            for (const auto& tensor : (*model)->tensors)
                QVERIFY(elementsOf(tensor.view) == ramp(100));
        }
    }

    void emptyAndUnwrittenDatasets()
    {
        const auto path = m_folder->path() / "c.h5";
        {
            const Hdf5Builder file(path);
            file.floats("empty", {0, 5}, {});
            file.floats("unwritten", {3, 5}, {}, {.written = false});
            file.floats("unwritten chunks", {3, 5}, {}, {.chunks = {2, 2}, .written = false});
            const hdf5::PropertyList plain(H5Pcreate(H5P_DATASET_CREATE));
        }
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        // What was never written is no weight of zero.
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        QCOMPARE((*model)->tensors[0].name, std::string("empty"));
        QVERIFY((*model)->warnings.back() == "2 datasets were never written and are left out.");
    }

    void largeArraysComeInOrder()
    {
        // Several blocks, of which a row of chunks is no whole number; more than a pipe and a record hold.
        const auto path = m_folder->path() / "large.h5";
        std::vector<float> values(3'000 * 3'000);
        std::iota(values.begin(), values.end(), 0.0F);
        {
            const Hdf5Builder file(path);
            file.floats("flat", {9'000'000}, values, {.chunks = {5'000'001}, .deflate = 1});
            file.floats("matrix", {3'000, 3'000}, values, {.chunks = {700, 300}, .deflate = 1});
            file.floats("cube", {2, 1'500, 3'000}, values, {.chunks = {2, 1'000, 1'000}, .deflate = 1});
        }
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        for (const auto& tensor : (*model)->tensors)
            QVERIFY2(elementsOf(tensor.view) == values, tensor.name.c_str());

        std::stop_source stopped;
        stopped.request_stop();
        const auto held = holdBytes((*model)->tensors[0].view, stopped.get_token());
        QVERIFY(!held);
        QCOMPARE(held.error().code, ErrorCode::Cancelled);
    }

    void rowsLargerThanABlockComeInPieces()
    {
        const auto path = m_folder->path() / "rows.h5";
        constexpr std::size_t kColumns = 70'000'000;
        std::vector<std::uint8_t> values(2 * kColumns);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = static_cast<std::uint8_t>(i % 251);
        Hdf5Builder(path).dataset("w", {2, kColumns}, H5T_NATIVE_UINT8, values,
            {.stored = H5T_STD_U8LE, .chunks = {1, 1'000'003}, .deflate = 1});
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto held = holdBytes((*model)->tensors[0].view, {});
        QVERIFY2(held, held ? "" : describe(held.error()).c_str());
        QVERIFY(std::equal(values.begin(), values.end(), reinterpret_cast<const std::uint8_t*>((*held)->bytes().data()),
            reinterpret_cast<const std::uint8_t*>((*held)->bytes().data() + (*held)->bytes().size())));
    }

    void packedWeightsAreToldApart()
    {
        const auto printOf = [&](const std::vector<float>& values, const Hdf5Keeping& keeping) {
            const auto path = m_folder->path() / "print.h5";
            Hdf5Builder(path).floats("w", {60, 50}, values, keeping);
            const auto model = openModel(path);
            return model && (*model)->tensors[0].view.deferred ? (*model)->fingerprint : std::string();
        };
        for (const Hdf5Keeping& keeping : {Hdf5Keeping {.chunks = {16, 50}, .deflate = 6}, {.chunks = {60, 50}},
                 {.chunks = {2, 50}}, Hdf5Keeping {.stored = H5T_IEEE_F32BE}}) {
            const auto print = printOf(ramp(3'000), keeping);
            QVERIFY(!print.empty());
            QCOMPARE(printOf(ramp(3'000), keeping), print);
            for (const std::size_t place : {0U, 1'700U, 2'999U}) {
                auto other = ramp(3'000);
                other[place] += 1.0F / 64.0F;
                QVERIFY2(printOf(other, keeping) != print, std::to_string(place).c_str());
            }
        }
    }

    void manyThreadsUnpackAtOnce()
    {
        const auto path = m_folder->path() / "threads.h5";
        {
            const Hdf5Builder file(path);
            for (int i = 0; i < 16; ++i)
                file.floats("w" + std::to_string(i), {100, 30}, ramp(3'000), {.chunks = {9, 9}, .deflate = 3});
        }
        const auto model = openModel(path);
        QVERIFY(model);
        std::atomic<int> right = 0;
        {
            std::vector<std::jthread> threads;
            for (std::size_t thread = 0; thread < 8; ++thread)
                threads.emplace_back([&, thread] {
                    for (std::size_t i = 0; i < 16; ++i)
                        right += elementsOf((*model)->tensors[(i + thread) % 16].view) == ramp(3'000) ? 1 : 0;
                });
        }
        QCOMPARE(right.load(), 128);
    }

    void aFileThatTookItsPlaceIsNotRead()
    {
        const auto path = m_folder->path() / "old.h5";
        Hdf5Builder(path).floats("w", {100, 30}, ramp(3'000), {.chunks = {9, 9}});
        const auto model = openModel(path);
        QVERIFY(model);
        std::filesystem::remove(path);
        m_folder->write("old.h5", "another file");
        QVERIFY(elementsOf((*model)->tensors[0].view) == ramp(3'000));  // by the descriptor kept since
    }

    void linksByNameAreNotFollowed()
    {
        const auto path = m_folder->path() / "links.h5";
        {
            const Hdf5Builder file(path);
            file.floats("w", {2}, {1, 2});
            H5Lcreate_soft("/w", file.file(), "soft", H5P_DEFAULT, H5P_DEFAULT);
        }
        refuseWith(path, ErrorCode::Unsupported, "link 'soft'");
        {
            const Hdf5Builder file(path);
            file.group("g");
            H5Lcreate_external("/etc/passwd", "/", file.file(), "g/external", H5P_DEFAULT, H5P_DEFAULT);
        }
        refuseWith(path, ErrorCode::Unsupported, "link 'g/external'");
    }

    void groupsInThemselvesAreRefused()
    {
        const auto path = m_folder->path() / "cycle.h5";
        {
            const Hdf5Builder file(path);
            file.group("a/b");
            H5Lcreate_hard(file.file(), "a", file.file(), "a/b/again", H5P_DEFAULT, H5P_DEFAULT);
        }
        refuseWith(path, ErrorCode::Malformed, "may contain itself");
        {
            const Hdf5Builder file(path);
            std::string deep = "d";
            for (int i = 0; i < 70; ++i)
                deep += "/d";
            file.group(deep);
        }
        refuseWith(path, ErrorCode::Unsupported, "nested too deeply");
    }

    void elementsElsewhereAreRefused()
    {
        const auto path = m_folder->path() / "elsewhere.h5";
        const hdf5::PropertyList external(H5Pcreate(H5P_DATASET_CREATE));
        H5Pset_external(external.id(), "/etc/passwd", 0, 40);
        Hdf5Builder(path).bare("w", {10}, H5T_IEEE_F32LE, external.id());
        refuseWith(path, ErrorCode::Unsupported, "in other files");

        const hdf5::PropertyList virtualList(H5Pcreate(H5P_DATASET_CREATE));
        const hsize_t ten = 10;
        const hdf5::Space space(H5Screate_simple(1, &ten, nullptr));
        H5Pset_virtual(virtualList.id(), space.id(), "other.h5", "/w", space.id());
        Hdf5Builder(path, 0, true).bare("w", {10}, H5T_IEEE_F32LE, virtualList.id());
        refuseWith(path, ErrorCode::Unsupported, "virtual");
    }

    void whatIsTooMuchIsRefused()
    {
        const auto path = m_folder->path() / "much.h5";
        const auto listOf = [](const std::vector<hsize_t>& chunks) {
            hdf5::PropertyList list(H5Pcreate(H5P_DATASET_CREATE));
            H5Pset_chunk(list.id(), static_cast<int>(chunks.size()), chunks.data());
            return list;
        };
        const auto scaled = listOf({10});
        H5Pset_scaleoffset(scaled.id(), H5Z_SO_INT, 0);
        Hdf5Builder(path).bare("w", {10}, H5T_STD_I32LE, scaled.id());
        refuseWith(path, ErrorCode::Unsupported, "HDF5 filter 6");

        Hdf5Builder(path).bare("w", {100'000'000}, H5T_IEEE_F32LE, listOf({100'000'000}).id());
        refuseWith(path, ErrorCode::Unsupported, "chunks larger");
        {
            const Hdf5Builder bomb(path);
            bomb.bare("w", {1'000'000'000}, H5T_IEEE_F32LE, listOf({1'000}).id());
            const hdf5::Dataset huge(H5Dopen2(bomb.file(), "w", H5P_DEFAULT));
            const hdf5::Space all(H5Dget_space(huge.id())), single(H5Screate(H5S_SCALAR));
            const hsize_t first = 0;
            const float value = 1;
            H5Sselect_elements(all.id(), H5S_SELECT_SET, 1, &first);
            QVERIFY(H5Dwrite(huge.id(), H5T_NATIVE_FLOAT, single.id(), all.id(), H5P_DEFAULT, &value) >= 0);
        }
        refuseWith(path, ErrorCode::Malformed, "unpacks to more");
        Hdf5Builder(path).bare("w", {1'000'000'000}, H5T_IEEE_F32LE, listOf({1'000}).id());
        refuseWith(path, ErrorCode::NotThisFormat, "never written");
        const hdf5::PropertyList plain(H5Pcreate(H5P_DATASET_CREATE));
        Hdf5Builder(path).bare("w", std::vector<hsize_t>(9, 1), H5T_IEEE_F32LE, plain.id());
        refuseWith(path, ErrorCode::Unsupported, "more than 8 dimensions");
        Hdf5Builder(path).group("empty");
        refuseWith(path, ErrorCode::NotThisFormat, "no arrays of numbers");
        Hdf5Builder study(path);
        const hdf5::Space scalar(H5Screate(H5S_SCALAR));
        hdf5::Attribute(
            H5Acreate2(study.file(), "quantloupe_study", H5T_STD_I32LE, scalar.id(), H5P_DEFAULT, H5P_DEFAULT));
        H5Fflush(study.file(), H5F_SCOPE_GLOBAL);
        refuseWith(path, ErrorCode::NotThisFormat, "a study of Quantloupe");
    }

    void aMissingHelperIsNamed()
    {
        const auto path = m_folder->path() / "d.h5";
        Hdf5Builder(path).floats("w", {2}, {1, 2});
        qputenv("QUANTLOUPE_HELPERS", "/no/such/folder");
        const auto model = openModel(path);
        qunsetenv("QUANTLOUPE_HELPERS");
        QVERIFY(!model);
        QCOMPARE(model.error().code, ErrorCode::CannotOpen);
        QVERIFY(model.error().reason.find("/no/such/folder") != std::string::npos);
    }

private:
    std::optional<tests::CheckpointFolder> m_folder;
};

QTEST_APPLESS_MAIN(TestHdf5)
#include "tst_hdf5.moc"
