// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/study_file.h"

#include "core/base/hash.h"
#include "core/base/mapped_file.h"
#include "core/study/calibration_tables.h"
#include "core/study/gradient_tables.h"
#include "core/study/recipe_tables.h"
#include "core/study/study_schema.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

namespace quantloupe {
namespace {

using hdf5::GroupReader;
using namespace study_schema;

/// Everything the pieces of the reader share; the first problem ends the reading.
struct Source {
    hid_t file = H5I_INVALID_HID;
    std::uint64_t bytes = 0;
    std::string problem;

    bool note(const GroupReader& group)
    {
        if (problem.empty())
            problem = group.problem();
        return problem.empty();
    }
    bool refuse(std::string reason)
    {
        if (problem.empty())
            problem = std::move(reason);
        return false;
    }
};

/// Reads the columns of a table into `rows`; `record(row)` is where a row's numbers go.
template<class Row, class Record, std::size_t Count, class Projection>
void readColumns(GroupReader& group, std::vector<Row>& rows, const Column<Record> (&columns)[Count],
    const Projection& record, const std::string& prefix = {})
{
    for (const auto& column : columns)
        std::visit(
            [&](auto member) {
                using Number = std::remove_cvref_t<decltype(std::declval<Record&>().*member)>;
                const auto name = prefix + column.name;
                const auto numbers = group.numbers<Number>(name.c_str());
                if (group.good() && numbers.size() != rows.size())
                    group.fail(name, "has another length than its table");
                for (std::size_t i = 0; group.good() && i < rows.size(); ++i)
                    record(rows[i]).*member = numbers[i];
            },
            column.member);
}

template<class Enumeration>
bool findByName(const std::string& name, Enumeration last, Enumeration& found)
{
    for (unsigned i = 0; i <= static_cast<unsigned>(last); ++i)
        if (nameOf(static_cast<Enumeration>(i)) == name) {
            found = static_cast<Enumeration>(i);
            return true;
        }
    return false;
}

std::optional<unsigned> indexOrNone(std::int64_t value)
{
    return value < 0 ? std::nullopt : std::optional<unsigned>(static_cast<unsigned>(value));
}

/// Reads one column and hands each entry to `assign`.
template<class Values, class Assign>
void spread(GroupReader& group, const char* name, const Values& values, std::vector<CatalogTensor>& tensors,
    const Assign& assign)
{
    if (group.good() && values.size() != tensors.size())
        group.fail(name, "has another length than its table");
    for (std::size_t i = 0; group.good() && i < tensors.size(); ++i)
        assign(tensors[i], values[i]);
}

void readShapes(GroupReader& table, std::vector<CatalogTensor>& tensors)
{
    const auto ranks = table.numbers<std::uint64_t>("rank");
    std::size_t width = 0;
    const auto shapes = table.table<std::uint64_t>("shape", tensors.size(), width);
    if (table.good() && ranks.size() != tensors.size())
        table.fail("rank", "has another length than its table");
    for (std::size_t i = 0; i < tensors.size() && table.good(); ++i) {
        if (ranks[i] > width)
            return table.fail("rank", "is larger than the table of shapes is wide");
        const auto first = shapes.begin() + static_cast<std::ptrdiff_t>(i * width);
        tensors[i].shape.assign(first, first + static_cast<std::ptrdiff_t>(ranks[i]));
        if (!elementCount(tensors[i].shape))
            table.fail("shape", "overflows");
    }
}

bool readTensors(Source& source, std::vector<CatalogTensor>& tensors)
{
    GroupReader table(source.file, "/model/tensors", source.bytes);
    const auto names = table.texts("name");
    tensors.resize(names.size());
    spread(table, "name", names, tensors, [](auto& t, const auto& name) { t.name = name; });
    spread(table, "role", table.texts("role"), tensors, [&](auto& t, const auto& name) {
        if (!findByName(name, TensorRole::Other, t.parts.role))
            table.fail("role", "names an unknown role");
    });
    spread(table, "dtype", table.texts("dtype"), tensors, [&](auto& t, const auto& name) {
        if (!findByName(name, DType::Q2_0, t.dtype))
            table.fail("dtype", "names an unknown type");
    });
    if (H5Lexists(table.id(), "packing", H5P_DEFAULT) > 0)  // older studies have none
        spread(table, "packing", table.texts("packing"), tensors, [](auto& t, const auto& text) { t.packing = text; });
    spread(table, "fused_group", table.texts("fused_group"), tensors,
        [](auto& t, const auto& group) { t.parts.fusedGroup = group; });
    spread(table, "block", table.numbers<std::int64_t>("block"), tensors,
        [](auto& t, auto i) { t.parts.block = indexOrNone(i); });
    spread(table, "expert", table.numbers<std::int64_t>("expert"), tensors,
        [](auto& t, auto i) { t.parts.expert = indexOrNone(i); });
    spread(table, "shared_expert", table.numbers<std::uint8_t>("shared_expert"), tensors,
        [](auto& t, auto flag) { t.parts.sharedExpert = flag != 0; });
    spread(table, "expert_stack", table.numbers<std::uint8_t>("expert_stack"), tensors,
        [](auto& t, auto flag) { t.parts.expertStack = flag != 0; });
    spread(table, "quantizable", table.numbers<std::uint8_t>("quantizable"), tensors,
        [](auto& t, auto flag) { t.quantizable = flag != 0; });
    spread(table, "rows", table.numbers<std::uint64_t>("rows"), tensors, [](auto& t, auto n) { t.matrix.rows = n; });
    spread(table, "columns", table.numbers<std::uint64_t>("columns"), tensors,
        [](auto& t, auto n) { t.matrix.columns = n; });
    spread(table, "bytes", table.numbers<std::uint64_t>("bytes"), tensors, [](auto& t, auto n) { t.bytes = n; });
    readShapes(table, tensors);
    std::unordered_set<std::string_view> seen;
    for (const auto& tensor : tensors)
        if (!seen.insert(tensor.name).second)
            table.fail("name", "holds a name twice");
    return source.note(table);
}

bool readModel(Source& source, ModelCatalog& model)
{
    GroupReader group(source.file, "/model", source.bytes);
    model.path = group.textAttribute("path");
    model.format = group.textAttribute("format");
    const auto naming = group.textAttribute("naming");
    if (naming != "gguf" && naming != "huggingface")
        group.fail("naming", "is neither gguf nor huggingface");
    model.naming = naming == "gguf" ? NamingWorld::Gguf : NamingWorld::HuggingFace;
    model.synthetic = group.numberAttribute("synthetic") != 0;
    model.config.architecture = group.textAttribute("architecture");
    model.config.tiedEmbeddings = group.numberAttribute("tied_embeddings") != 0;
    for (const auto& figure : kConfigFigures)
        if (group.hasAttribute(figure.name))
            model.config.*figure.member = group.numberAttribute(figure.name);
    model.warnings = group.texts("warnings");
    return source.note(group) && readTensors(source, model.tensors);
}

/// A measurement on its way from the tables to the snapshot.
struct StoredRow {
    std::uint64_t tensor = 0;
    std::uint64_t bins = 0, rowLength = 0, columnLength = 0;
    SchemeMeasurement measurement;
};

bool readResults(Source& source, std::vector<StoredRow>& rows)
{
    GroupReader group(source.file, "/results", source.bytes);
    static constexpr Column<StoredRow> kOwnColumns[] = {
        {"tensor", {}, &StoredRow::tensor},
        {"error_histogram_bins", {}, &StoredRow::bins},
        {"row_error_energy_length", {}, &StoredRow::rowLength},
        {"column_error_energy_length", {}, &StoredRow::columnLength},
    };
    const auto schemes = group.texts("scheme");
    rows.resize(schemes.size());
    for (std::size_t i = 0; i < rows.size() && group.good(); ++i) {
        auto scheme = Scheme::parse(schemes[i]);
        if (scheme)
            rows[i].measurement.scheme = std::move(*scheme);
        else
            group.fail("scheme", "holds '" + schemes[i] + "', which is not a scheme");
    }
    readColumns(
        group, rows, kOwnColumns, [](auto& row) -> auto& { return row; });
    readColumns(
        group, rows, kErrorColumns, [](auto& row) -> auto& { return row.measurement.error; });
    readColumns(
        group, rows, kMeasurementColumns, [](auto& row) -> auto& { return row.measurement; });
    if (group.hasDataset(kImportanceColumns[0].name))
        readColumns(
            group, rows, kImportanceColumns, [](auto& row) -> auto& { return row.measurement; });
    if (group.hasDataset(kCalibrationColumns[0].name)) {
        readColumns(
            group, rows, kCalibrationColumns, [](auto& row) -> auto& { return row.measurement; });
        readColumns(
            group, rows, kOutputColumns, [](auto& row) -> auto& { return row.measurement.outputError; });
        readColumns(
            group, rows, kDivergenceColumns, [](auto& row) -> auto& { return row.measurement.divergence; });
    }
    if (group.hasDataset(kPredictedColumns[0].name))
        readColumns(
            group, rows, kPredictedColumns, [](auto& row) -> auto& { return row.measurement.predicted; });
    readColumns(
        group, rows, kHistogramColumns, [](auto& row) -> auto& { return row.measurement.errorHistogram; }, "error_");
    return source.note(group);
}

/// Cuts a table filled up with zeros back into rows of their own length.
template<class Number, class Length, class Target>
void readTable(
    GroupReader& group, const char* name, std::span<StoredRow> rows, const Length& length, const Target& target)
{
    std::size_t width = 0;
    const auto values = group.table<Number>(name, rows.size(), width);
    for (std::size_t i = 0; i < rows.size() && group.good(); ++i) {
        if (length(rows[i]) > width)
            return group.fail(name, "is narrower than /results says");
        const auto first = values.begin() + static_cast<std::ptrdiff_t>(i * width);
        target(rows[i]).assign(first, first + static_cast<std::ptrdiff_t>(length(rows[i])));
    }
}

bool readArrays(Source& source, std::uint64_t index, WeightStatistics& weights, std::span<StoredRow> rows)
{
    GroupReader group(source.file, "/tensors/" + std::to_string(index), source.bytes);
    weights.histogram.counts = group.numbers<std::uint64_t>("weight_histogram");
    weights.survival = group.numbers<double>("survival");
    weights.rowAbsMax = group.numbers<float>("row_absmax");
    weights.columnAbsMax = group.numbers<float>("column_absmax");
    weights.outlierRows = group.numbers<std::uint32_t>("outlier_rows");
    weights.outlierColumns = group.numbers<std::uint32_t>("outlier_columns");
    readTable<std::uint64_t>(
        group, "error_histogram", rows, [](const auto& row) { return row.bins; },
        [](auto& row) -> auto& { return row.measurement.errorHistogram.counts; });
    readTable<float>(
        group, "row_error_energy", rows, [](const auto& row) { return row.rowLength; },
        [](auto& row) -> auto& { return row.measurement.rowErrorEnergy; });
    readTable<float>(
        group, "column_error_energy", rows, [](const auto& row) { return row.columnLength; },
        [](auto& row) -> auto& { return row.measurement.columnErrorEnergy; });
    return source.note(group);
}

bool readMeasurements(Source& source, StudySnapshot& study)
{
    GroupReader group(source.file, "/weights", source.bytes);
    const auto indices = group.numbers<std::uint64_t>("tensor");
    std::vector<WeightStatistics> weights(group.good() ? indices.size() : 0);
    readColumns(
        group, weights, kMomentColumns, [](auto& w) -> auto& { return w.moments; });
    readColumns(
        group, weights, kWeightColumns, [](auto& w) -> auto& { return w; });
    readColumns(
        group, weights, kHistogramColumns, [](auto& w) -> auto& { return w.histogram; });
    std::vector<StoredRow> rows;
    if (!source.note(group) || !readResults(source, rows)
        || !source.note(GroupReader(source.file, "/tensors", source.bytes)))
        return false;
    std::size_t next = 0;
    for (std::size_t i = 0; i < indices.size(); ++i) {
        if (indices[i] >= study.model.tensors.size() || (i > 0 && indices[i] <= indices[i - 1]))
            return source.refuse("/weights/tensor: does not ascend through /model/tensors");
        const auto first = next;
        while (next < rows.size() && rows[next].tensor == indices[i])
            ++next;
        const auto mine = std::span(rows).subspan(first, next - first);
        if (!readArrays(source, indices[i], weights[i], mine))
            return false;
        const auto& name = study.model.tensors[indices[i]].name;
        auto all = std::make_shared<SchemeMeasurements>();
        for (auto& row : mine) {
            auto text = row.measurement.scheme.toString();
            if (!all->emplace(std::move(text), std::make_shared<const SchemeMeasurement>(std::move(row.measurement)))
                     .second)
                return source.refuse("/results/scheme: holds a scheme twice for '" + name + "'");
        }
        study.weights.emplace(name, std::make_shared<const WeightStatistics>(std::move(weights[i])));
        study.measurements.emplace(name, std::move(all));
    }
    return next == rows.size() || source.refuse("/results/tensor: is not in the order of /weights/tensor");
}

bool readContent(Source& source, StudySnapshot& study)
{
    GroupReader root(source.file, "/", source.bytes);
    study.model.fingerprint = root.textAttribute("fingerprint");
    if (!source.note(root) || !readModel(source, study.model) || !readMeasurements(source, study))
        return false;
    if (auto calibration = readCalibration(source.file, source.bytes); !calibration)
        return source.refuse(calibration.error());
    else
        study.calibration = std::move(*calibration);
    if (auto gradients = readGradients(source.file, source.bytes); !gradients)
        return source.refuse(gradients.error());
    else
        study.calibration.gradients = std::move(*gradients);
    if (auto recipes = readMeasuredRecipes(source.file, source.bytes); !recipes)
        return source.refuse(recipes.error());
    else
        study.measuredRecipes = std::move(*recipes);
    if (H5Lexists(root.id(), "recipe", H5P_DEFAULT) <= 0)
        return true;
    const auto texts = root.texts("recipe");
    if (!source.note(root) || texts.size() != 1)
        return source.refuse("/recipe: is not one text");
    auto recipe = Recipe::fromJson(texts.front(), "/recipe");
    if (!recipe)
        return source.refuse("/recipe: " + recipe.error().reason);
    study.recipe = std::move(*recipe);
    return true;
}

bool hasSeal(Bytes bytes)
{
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(kSeal);
}

/// Compares the checksum, so that the HDF5 library never parses a file that was damaged after it was written.
Result<void> checkSeal(Bytes bytes, const std::string& where)
{
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    if (bytes.size() < kUserBlock || !hasSeal(bytes)) {
        if (hasSeal(bytes))
            return failure(ErrorCode::Malformed, where, "ends inside its first block", bytes.size());
        return failure(ErrorCode::NotThisFormat, where, "is not a Quantloupe study");
    }
    FingerprintHasher hasher;
    hasher.add(bytes.subspan(kUserBlock));
    if (std::string_view(text + kSeal.size(), 32) != hasher.hex() || text[kSeal.size() + 32] != '\n')
        return failure(
            ErrorCode::Malformed, where, "its checksum does not match: it is damaged, or another program changed it");
    return {};
}

}  // namespace

bool isStudyFile(const std::filesystem::path& path)
{
    const auto mapped = MappedFile::open(path);
    return mapped && hasSeal((*mapped)->bytes());
}

Result<StudySnapshot> readStudyFile(const std::filesystem::path& path)
{
    const auto where = path.string();
    auto mapped = MappedFile::open(path);
    if (!mapped)
        return tl::unexpected(mapped.error());
    if (auto sound = checkSeal((*mapped)->bytes(), where); !sound)
        return tl::unexpected(sound.error());

    const hdf5::QuietErrors quiet;
    const hdf5::PropertyList access(H5Pcreate(H5P_FILE_ACCESS));
    H5Pset_file_locking(access.id(), false, true);  // the file is never written in place: nothing to lock
    const hdf5::File file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()));
    if (!file)
        return failure(ErrorCode::Malformed, where, "is not an HDF5 file");
    Source source {file.id(), (*mapped)->bytes().size(), {}};
    GroupReader root(file.id(), "/", source.bytes);
    const auto version = root.numberAttribute("quantloupe_study");
    if (root.good() && version > kVersion)
        return failure(ErrorCode::Unsupported, where,
            "the study is of version " + std::to_string(version) + ", and this program reads up to "
                + std::to_string(kVersion));
    StudySnapshot study;
    if (!source.note(root) || !readContent(source, study))
        return failure(ErrorCode::Malformed, where, source.problem);
    return study;
}

}  // namespace quantloupe
