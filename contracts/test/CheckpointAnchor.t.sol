// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CheckpointAnchor} from "../src/CheckpointAnchor.sol";
import {ICheckpointAnchor} from "../src/interfaces/ICheckpointAnchor.sol";
import {Vm, vm} from "./Vm.sol";

contract CheckpointAnchorTest {
    bytes32 private constant ORIGIN = sha256("example.org/log");
    bytes32 private constant ROOT = keccak256("root");
    bytes32 private constant OTHER_ROOT = keccak256("other root");
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);

    ICheckpointAnchor private anchors;

    function setUp() public {
        anchors = new CheckpointAnchor();
    }

    function anchorAs(address publisher, bytes32 origin, uint64 size, bytes32 root) private returns (uint64) {
        vm.prank(publisher);
        return anchors.anchor(origin, size, root);
    }

    function expectHead(address publisher, bytes32 origin, uint64 size, uint64 sequence, bytes32 root) private view {
        (uint64 headSize, uint64 headSequence, bytes32 headRoot) = anchors.head(publisher, origin);
        vm.assertEq(headSize, size, "head size");
        vm.assertEq(headSequence, sequence, "head sequence");
        vm.assertEq(headRoot, root, "head root");
    }

    function expectRefused(bytes memory reason, address publisher, bytes32 origin, uint64 size, bytes32 root) private {
        (uint64 headSize, uint64 headSequence, bytes32 headRoot) = anchors.head(publisher, origin);
        vm.prank(publisher);
        vm.expectRevert(reason);
        anchors.anchor(origin, size, root);
        expectHead(publisher, origin, headSize, headSequence, headRoot);
    }

    function expectAnchored(
        Vm.Log memory log,
        address publisher,
        bytes32 origin,
        uint64 size,
        uint64 sequence,
        bytes32 root
    ) private view {
        vm.assertEq(log.emitter, address(anchors), "emitter");
        vm.assertEq(log.topics.length, 3, "topics");
        vm.assertEq(log.topics[0], keccak256("Anchored(address,bytes32,uint64,uint64,bytes32)"), "event topic");
        vm.assertEq(log.topics[1], bytes32(uint256(uint160(publisher))), "publisher topic");
        vm.assertEq(log.topics[2], origin, "origin topic");
        vm.assertEq(log.data, abi.encode(size, sequence, root), "event data");
    }

    // --- the interface itself: what Python encodes by hand must never move ---

    function test_selectorsAreThoseOfTheDocument() public pure {
        vm.assertEq(
            bytes32(ICheckpointAnchor.anchor.selector),
            bytes32(bytes4(keccak256("anchor(bytes32,uint64,bytes32)"))),
            "anchor"
        );
        vm.assertEq(
            bytes32(ICheckpointAnchor.head.selector), bytes32(bytes4(keccak256("head(address,bytes32)"))), "head"
        );
        vm.assertEq(
            ICheckpointAnchor.Anchored.selector,
            keccak256("Anchored(address,bytes32,uint64,uint64,bytes32)"),
            "Anchored"
        );
        vm.assertEq(bytes32(ICheckpointAnchor.ZeroSize.selector), bytes32(bytes4(keccak256("ZeroSize()"))), "ZeroSize");
        vm.assertEq(bytes32(ICheckpointAnchor.ZeroRoot.selector), bytes32(bytes4(keccak256("ZeroRoot()"))), "ZeroRoot");
        vm.assertEq(
            bytes32(ICheckpointAnchor.SizeShrank.selector),
            bytes32(bytes4(keccak256("SizeShrank(uint64,uint64)"))),
            "SizeShrank"
        );
        vm.assertEq(
            bytes32(ICheckpointAnchor.RootChanged.selector),
            bytes32(bytes4(keccak256("RootChanged(uint64,bytes32,bytes32)"))),
            "RootChanged"
        );
    }

    function test_committedArtifactIsTheTestedCode() public view {
        string memory artifact = vm.readFile("../provenance/chains/artifacts/CheckpointAnchor.json");
        bytes memory creation = vm.parseJsonBytes(artifact, ".bytecode");
        vm.assertEq(creation, type(CheckpointAnchor).creationCode, "creation bytecode: run contracts/build");
        vm.assertEq(
            vm.parseJsonBytes(artifact, ".deployedBytecode"),
            address(anchors).code,
            "code on chain: run contracts/build"
        );
    }

    // --- unit ---

    function test_headIsZeroBeforeTheFirstAnchor() public view {
        expectHead(ALICE, ORIGIN, 0, 0, 0);
    }

    function test_firstAnchorHasSequenceOne() public {
        vm.recordLogs();
        vm.assertEq(anchorAs(ALICE, ORIGIN, 7, ROOT), 1, "returned sequence");
        expectHead(ALICE, ORIGIN, 7, 1, ROOT);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "events");
        expectAnchored(logs[0], ALICE, ORIGIN, 7, 1, ROOT);
    }

    function test_largerSizeMovesTheHead() public {
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        vm.recordLogs();
        vm.assertEq(anchorAs(ALICE, ORIGIN, 8, OTHER_ROOT), 2, "returned sequence");
        expectHead(ALICE, ORIGIN, 8, 2, OTHER_ROOT);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "events");
        expectAnchored(logs[0], ALICE, ORIGIN, 8, 2, OTHER_ROOT);
    }

    function test_sameCheckpointAgainChangesNothingAndEmitsNothing() public {
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        anchorAs(ALICE, ORIGIN, 9, OTHER_ROOT);
        vm.recordLogs();
        vm.assertEq(anchorAs(ALICE, ORIGIN, 9, OTHER_ROOT), 2, "returned sequence");
        vm.assertEq(vm.getRecordedLogs().length, 0, "events");
        expectHead(ALICE, ORIGIN, 9, 2, OTHER_ROOT);
    }

    function test_zeroSizeIsRefused() public {
        bytes memory reason = abi.encodeWithSelector(ICheckpointAnchor.ZeroSize.selector);
        expectRefused(reason, ALICE, ORIGIN, 0, ROOT);
        expectRefused(reason, ALICE, ORIGIN, 0, 0);
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        expectRefused(reason, ALICE, ORIGIN, 0, ROOT);
    }

    function test_zeroRootIsRefused() public {
        bytes memory reason = abi.encodeWithSelector(ICheckpointAnchor.ZeroRoot.selector);
        expectRefused(reason, ALICE, ORIGIN, 1, 0);
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        expectRefused(reason, ALICE, ORIGIN, 7, 0);
        expectRefused(reason, ALICE, ORIGIN, 8, 0);
    }

    function test_smallerSizeIsRefused() public {
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        bytes memory reason = abi.encodeWithSelector(ICheckpointAnchor.SizeShrank.selector, 7, 6);
        expectRefused(reason, ALICE, ORIGIN, 6, ROOT);
        expectRefused(reason, ALICE, ORIGIN, 6, OTHER_ROOT);
    }

    function test_sameSizeWithAnotherRootIsRefused() public {
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        bytes memory reason = abi.encodeWithSelector(ICheckpointAnchor.RootChanged.selector, 7, ROOT, OTHER_ROOT);
        expectRefused(reason, ALICE, ORIGIN, 7, OTHER_ROOT);
    }

    function test_publishersDoNotShareAHead() public {
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        vm.assertEq(anchorAs(BOB, ORIGIN, 3, OTHER_ROOT), 1, "returned sequence");
        expectHead(ALICE, ORIGIN, 7, 1, ROOT);
        expectHead(BOB, ORIGIN, 3, 1, OTHER_ROOT);
    }

    function test_originsDoNotShareAHead() public {
        bytes32 other = sha256("example.org/other");
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        vm.assertEq(anchorAs(ALICE, other, 3, OTHER_ROOT), 1, "returned sequence");
        expectHead(ALICE, ORIGIN, 7, 1, ROOT);
        expectHead(ALICE, other, 3, 1, OTHER_ROOT);
        expectHead(ALICE, 0, 0, 0, 0);
    }

    function test_largestSizeIsTheLastOne() public {
        vm.assertEq(anchorAs(ALICE, ORIGIN, type(uint64).max, ROOT), 1, "returned sequence");
        expectHead(ALICE, ORIGIN, type(uint64).max, 1, ROOT);
        vm.assertEq(anchorAs(ALICE, ORIGIN, type(uint64).max, ROOT), 1, "returned sequence");
        bytes memory reason =
            abi.encodeWithSelector(ICheckpointAnchor.RootChanged.selector, type(uint64).max, ROOT, OTHER_ROOT);
        expectRefused(reason, ALICE, ORIGIN, type(uint64).max, OTHER_ROOT);
    }

    function test_headIsTwoSlots() public {
        anchorAs(ALICE, ORIGIN, 7, ROOT);
        anchorAs(ALICE, ORIGIN, 8, OTHER_ROOT);
        bytes32 outer = keccak256(abi.encode(ALICE, uint256(0)));
        uint256 slot = uint256(keccak256(abi.encode(ORIGIN, outer)));
        vm.assertEq(vm.load(address(anchors), bytes32(slot)), bytes32((uint256(2) << 64) | 8), "sequence | size");
        vm.assertEq(vm.load(address(anchors), bytes32(slot + 1)), OTHER_ROOT, "root");
        vm.assertEq(vm.load(address(anchors), bytes32(slot + 2)), 0, "nothing after the root");
    }

    function test_sizeBeyondUint64IsRefusedByTheDecoder() public {
        bytes memory call = abi.encodeWithSelector(ICheckpointAnchor.anchor.selector, ORIGIN, uint256(1) << 64, ROOT);
        (bool accepted,) = address(anchors).call(call);
        vm.assertTrue(!accepted, "a size of 2^64 was accepted");
    }

    function test_etherIsRefused() public {
        bytes memory call = abi.encodeCall(ICheckpointAnchor.anchor, (ORIGIN, 1, ROOT));
        (bool accepted,) = address(anchors).call{value: 1}(call);
        vm.assertTrue(!accepted, "ether would be locked for ever");
        (accepted,) = address(anchors).call{value: 1}("");
        vm.assertTrue(!accepted, "ether would be locked for ever");
    }

    function test_thereIsNoOtherFunction() public {
        (bool accepted,) = address(anchors).call(hex"ffffffff");
        vm.assertTrue(!accepted, "an unknown selector was accepted");
        (accepted,) = address(anchors).call("");
        vm.assertTrue(!accepted, "an empty call was accepted");
    }

    // --- fuzz: one step from any head, against the rules written as a table ---

    function testFuzz_firstAnchor(address publisher, bytes32 origin, uint64 size, bytes32 root) public {
        if (size == 0) {
            expectRefused(abi.encodeWithSelector(ICheckpointAnchor.ZeroSize.selector), publisher, origin, size, root);
        } else if (root == 0) {
            expectRefused(abi.encodeWithSelector(ICheckpointAnchor.ZeroRoot.selector), publisher, origin, size, root);
        } else {
            vm.recordLogs();
            vm.assertEq(anchorAs(publisher, origin, size, root), 1, "returned sequence");
            Vm.Log[] memory logs = vm.getRecordedLogs();
            vm.assertEq(logs.length, 1, "events");
            expectAnchored(logs[0], publisher, origin, size, 1, root);
            expectHead(publisher, origin, size, 1, root);
        }
    }

    function testFuzz_largerSize(uint64 size, uint64 growth, bytes32 root, bytes32 nextRoot) public {
        vm.assume(size != 0 && growth != 0 && root != 0 && nextRoot != 0);
        vm.assume(size <= type(uint64).max - growth);
        anchorAs(ALICE, ORIGIN, size, root);
        vm.recordLogs();
        vm.assertEq(anchorAs(ALICE, ORIGIN, size + growth, nextRoot), 2, "returned sequence");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "events");
        expectAnchored(logs[0], ALICE, ORIGIN, size + growth, 2, nextRoot);
        expectHead(ALICE, ORIGIN, size + growth, 2, nextRoot);
    }

    function testFuzz_smallerSize(uint64 size, uint64 proposed, bytes32 root, bytes32 nextRoot) public {
        vm.assume(size > 1 && root != 0 && nextRoot != 0);
        proposed = 1 + proposed % (size - 1);
        anchorAs(ALICE, ORIGIN, size, root);
        bytes memory reason = abi.encodeWithSelector(ICheckpointAnchor.SizeShrank.selector, size, proposed);
        expectRefused(reason, ALICE, ORIGIN, proposed, nextRoot);
    }

    function testFuzz_sameSize(uint64 size, bytes32 root, bytes32 nextRoot) public {
        vm.assume(size != 0 && root != 0 && nextRoot != 0 && nextRoot != root);
        anchorAs(ALICE, ORIGIN, size, root);
        bytes memory reason = abi.encodeWithSelector(ICheckpointAnchor.RootChanged.selector, size, root, nextRoot);
        expectRefused(reason, ALICE, ORIGIN, size, nextRoot);
        vm.recordLogs();
        vm.assertEq(anchorAs(ALICE, ORIGIN, size, root), 1, "returned sequence");
        vm.assertEq(vm.getRecordedLogs().length, 0, "events");
        expectHead(ALICE, ORIGIN, size, 1, root);
    }

    function testFuzz_headsAreSeparate(address left, address right, bytes32 leftOrigin, bytes32 rightOrigin) public {
        vm.assume(left != right || leftOrigin != rightOrigin);
        anchorAs(left, leftOrigin, 9, ROOT);
        expectHead(right, rightOrigin, 0, 0, 0);
        anchorAs(right, rightOrigin, 4, OTHER_ROOT);
        expectHead(left, leftOrigin, 9, 1, ROOT);
        expectHead(right, rightOrigin, 4, 1, OTHER_ROOT);
    }
}
