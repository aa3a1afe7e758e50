// SPDX-License-Identifier: GPL-3.0-or-later
// References in HDF5 files, which nothing of ours needs.
#include "tests/support/checkpoint_files.h"
#include "tests/support/hdf5_files.h"

#include <QTest>

using namespace quantloupe;
using tests::Hdf5Builder;

class TestHdf5References : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void init() { m_folder.emplace(); }

    void referencesMustLeadSomewhere_data()
    {
        QTest::addColumn<bool>("damaged");
        QTest::newRow("sound") << false;
        QTest::newRow("to nowhere") << true;
    }

    /// A file that has a broken one is damaged all the same.
    void referencesMustLeadSomewhere()
    {
        QFETCH(const bool, damaged);
        const auto path = m_folder->path() / "r.h5";
        {
            const Hdf5Builder file(path);
            file.floats("w", {4}, {1, 2, 3, 4});
            std::vector<hobj_ref_t> references(2, 0);
            QVERIFY(H5Rcreate(references.data(), file.file(), "w", H5R_OBJECT, H5I_INVALID_HID) >= 0);
            if (damaged)
                references[1] = references[0] + 3;
            file.dataset("all", {2}, H5T_STD_REF_OBJ, references, {.stored = H5T_STD_REF_OBJ});
        }
        const auto model = openModel(path);
        QCOMPARE(model.has_value(), !damaged);
        if (damaged) {
            QVERIFY(model.error().code == ErrorCode::Malformed);
            QVERIFY2(model.error().reason == "dataset 'all' refers to what is not there", model.error().reason.c_str());
        }
    }

    /// Each place is looked up once: as many references as there may be to one dataset are no work.
    void referencesMayBeMany()
    {
        const auto path = m_folder->path() / "many.h5";
        {
            const Hdf5Builder file(path);
            file.floats("w", {4}, {1, 2, 3, 4});
            hobj_ref_t reference = 0;
            QVERIFY(H5Rcreate(&reference, file.file(), "w", H5R_OBJECT, H5I_INVALID_HID) >= 0);
            constexpr std::size_t many = 400'000;
            file.dataset(
                "all", {many}, H5T_STD_REF_OBJ, std::vector<hobj_ref_t>(many, reference), {.stored = H5T_STD_REF_OBJ});
        }
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
    }

private:
    std::optional<tests::CheckpointFolder> m_folder;
};

QTEST_APPLESS_MAIN(TestHdf5References)
#include "tst_hdf5_references.moc"
